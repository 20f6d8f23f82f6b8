"""The image's entrypoint: `python -m wherry_runner build --select fqn:shop.orders`."""

from wherry_runner.main import main

main()
