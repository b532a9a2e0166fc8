"""`python -m noisyfer`."""

from noisyfer import main

main()
