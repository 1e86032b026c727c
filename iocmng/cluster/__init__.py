"""The only room that imports Ray: the Controller, the plugin processes, and what connects them."""
