"""The image's entrypoint: `wherry-runner build --select fqn:shop.orders`, or `python -m wherry_runner`."""

import gc
import signal
from typing import NoReturn

from wherry_runner import bundle


def main() -> NoReturn:
    """Run the runner, with what an image's build has made in advance."""
    # Held until it is known what they end (`wherry_runner.signals`): the kernel drops what PID 1 has no handler for.
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT))
    gc.disable()  # what is imported stays; `wherry_runner.main` and `wherry_runner.waiting` enable it again
    bundle.use()
    from wherry_runner import generated

    generated.before_import()
    from wherry_runner.main import main as run

    run()


if __name__ == "__main__":
    main()
