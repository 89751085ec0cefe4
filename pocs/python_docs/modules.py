"""The standard modules whose docstrings make up the corpus, in the order in which they are read."""

IN_ORDER = """
    builtins
    abc argparse array ast asyncio atexit base64 binascii bisect calendar cmath code codecs
    collections collections.abc colorsys compileall concurrent.futures configparser contextlib
    contextvars copy csv dataclasses datetime decimal difflib dis doctest email.message email.utils
    enum faulthandler filecmp fileinput fnmatch fractions functools gc getopt getpass gettext glob
    graphlib gzip hashlib heapq hmac html html.parser http http.client http.cookies http.server
    importlib importlib.metadata importlib.resources inspect io ipaddress itertools json keyword
    linecache locale logging logging.config logging.handlers marshal math mimetypes modulefinder
    multiprocessing multiprocessing.pool multiprocessing.shared_memory numbers operator os os.path
    pathlib pdb pickle pkgutil platform plistlib pprint cProfile pstats queue quopri random re
    reprlib runpy sched secrets select selectors shelve shlex shutil signal site smtplib socket
    socketserver sqlite3 stat statistics string struct subprocess symtable sys sysconfig tarfile
    tempfile textwrap threading time timeit token tokenize trace traceback tracemalloc types typing
    unicodedata unittest unittest.mock urllib.error urllib.parse urllib.request urllib.robotparser
    uuid venv warnings wave weakref webbrowser xml.etree.ElementTree xml.dom.minidom zipapp zipfile
    zlib zoneinfo
"""
MODULES: tuple[str, ...] = tuple(IN_ORDER.split())
"""Each imports on every machine without a side effect, and without a product from outside."""
