"""What runs inside the sandboxed child: the user's class, its market data, its decisions."""
