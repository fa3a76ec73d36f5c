"""Views of the host's own magics: what they show (`facts`), drawn once as HTML (`pictures`) or live in a front end.

A live view is an anywidget whose other end is the kernel and no cell: `models` speaks the widgets' protocol, `feed`
gives the models what is new, `view.js` and `view.css` are what the front end draws with. `shown` is what magics show
without any of it.
"""
