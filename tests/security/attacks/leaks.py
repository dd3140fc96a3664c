"""What is known to get through: it tells that something is there, and never what is in it."""

import gc
import sys
from pathlib import Path

from tools import Scene


def walk_the_heap(_: Scene) -> str:
    gc.unfreeze()
    kinds = {type(each).__name__ for each in gc.get_objects()}
    return f"{len(kinds)} kinds of objects, {'module' in kinds}"


def walk_the_frames(_: Scene) -> str:
    frame, names = sys._getframe(), []
    while frame is not None:
        names.append(frame.f_code.co_name)
        frame = frame.f_back
    return " < ".join(names) if "live" in names else ""


def learn_a_files_size(scene: Scene) -> str:
    return f"{Path(scene.secret).stat().st_size} bytes"


def learn_that_a_process_is_there(scene: Scene) -> str:
    Path(f"/proc/{scene.engine}").stat()
    return f"{scene.engine} is there"
