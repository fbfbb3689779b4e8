"""`python -m services.outcomes`."""

from services.outcomes.app import main

if __name__ == "__main__":
    main()
