"""`python -m services.notifications`."""

from services.notifications.app import main

if __name__ == "__main__":
    main()
