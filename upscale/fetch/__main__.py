from upscale.fetch import main

main()
