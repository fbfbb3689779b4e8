"""`python -m services.sessions`."""

from services.sessions.app import main

if __name__ == "__main__":
    main()
