from data.tfds import main

main()
