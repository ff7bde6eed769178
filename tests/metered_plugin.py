"""Registers the system of `metered` in the process that imports this."""

import metered

metered.register()
