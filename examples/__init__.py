"""What held requests are good for, beyond ``app.py``: a blocking database, a chat. ``docs/`` has a page for each.

A project made from this one deletes the folder, and what ``grep -n examples app.py tasks.py`` finds.
"""

#: For Tornado's ``Application``, which imports what it finds as a name; so the worker, which needs ``examples.tasks``
#: of this package, imports nothing of Tornado.
HANDLERS = [
    (r"/mysql_query/([^/]+)", "examples.resources.MysqlQuery"),
    (r"/gen_mysql_query/([^/]+)", "examples.resources.GenMysqlQuery"),
    (r"/resource/(\d{1,9})", "examples.resources.Resource"),
    (r"/executor/resource/(\d{1,9})", "examples.resources.ExecutorResource"),
    (r"/executor/resource", "examples.resources.ExecutorResources"),
    (r"/chat", "examples.chat.Chat"),
]
