"""Further uses of held requests: a blocking database, and a chat. ``docs/`` has a page for each.

A project made from this one can delete this folder, and the lines that ``grep -n examples app.py tasks.py`` finds.
"""

#: Routes for Tornado's ``Application``, which imports a handler given by its name. So the worker, which needs
#: ``examples.tasks``, imports nothing of Tornado.
HANDLERS = [
    (r"/mysql_query/([^/]+)", "examples.resources.MysqlQuery"),
    (r"/gen_mysql_query/([^/]+)", "examples.resources.GenMysqlQuery"),
    (r"/resource/(\d{1,9})", "examples.resources.Resource"),
    (r"/executor/resource/(\d{1,9})", "examples.resources.ExecutorResource"),
    (r"/executor/resource", "examples.resources.ExecutorResources"),
    (r"/chat", "examples.chat.Chat"),
]
