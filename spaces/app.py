"""The app as a Hugging Face Space: the files of this folder are all that it takes."""

from cdvae_gan.app import launch

launch("celeba64", host="0.0.0.0", port=7860)
