"""The app: photos edited with sliders, and classifiers audited, in the browser.

`session` is what is done, without a browser; `page` is what is seen.
"""

from cdvae_gan.app.page import build, launch

__all__ = ["build", "launch"]
