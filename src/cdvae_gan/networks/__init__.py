"""The neural networks: encoder, decoder, discriminators and the frozen network of one of them."""
