from pipeline.export import main

main()
