from pipeline.server import main

main()
