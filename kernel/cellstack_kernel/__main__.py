"""`python -m cellstack_kernel`."""

from cellstack_kernel.app import main

main()
