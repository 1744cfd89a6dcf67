import sys

from posebook.cli import main

sys.exit(main())
