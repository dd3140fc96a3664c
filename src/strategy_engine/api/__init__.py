"""The HTTP door: parse a request, call one service, shape its answer."""
