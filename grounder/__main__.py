"""`python -m grounder`, where the console script is not on the path."""

from grounder.main import main

main()
