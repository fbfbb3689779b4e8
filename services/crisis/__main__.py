"""python -m services.crisis"""

from services.crisis.app import main

if __name__ == "__main__":
    main()
