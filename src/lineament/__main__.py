"""`python -m lineament` is the `lineament` command."""

from .cli import main

if __name__ == "__main__":
    main()
