"""The server of the tests: SecantusDB, ending when its standard input does, so that it outlives no test process."""

import os
import sys
import threading

from secantus.cli import main


def end_with_input() -> None:
    # Not through sys.stdin, whose lock this thread would still hold when the server ends in order.
    while os.read(0, 4096):
        pass
    # Killed as it were: what was acknowledged is on the disk.
    os._exit(0)


threading.Thread(target=end_with_input, daemon=True).start()
sys.exit(main())
