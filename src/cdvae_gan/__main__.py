"""``python -m cdvae_gan`` is ``cdvae-gan``."""

import sys

from cdvae_gan.cli import main

if __name__ == "__main__":
    sys.exit(main())
