"""From a source to a class: fetch a plugin's files, install what it requires, import it in its own process."""
