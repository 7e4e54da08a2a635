"""`python -m farthing`: the command line."""

from farthing.cli.main import main

if __name__ == "__main__":
    main()
