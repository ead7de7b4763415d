"""Asks a URL as anybody on the internet would, from this machine."""

from __future__ import annotations

import errno
import http.client
import socket
import ssl
from urllib.parse import urlsplit, urlunsplit

from releasekit.ports import Page


def fetch(url: str, deadline_s: float) -> Page:
    """GET `url`; a certificate that is not valid for it is no answer."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    path = urlunsplit(("", "", parts.path or "/", parts.query, ""))
    connection = http.client.HTTPConnection(host, parts.port, timeout=deadline_s)
    if parts.scheme == "https":
        context = ssl.create_default_context()
        connection = http.client.HTTPSConnection(
            host, parts.port, timeout=deadline_s, context=context
        )
    try:
        connection.request("GET", path, headers={"Connection": "close"})
        response = connection.getresponse()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return Page(response.status, headers, headers.get("location", ""))
    except ssl.SSLCertVerificationError as error:
        return Page(None, detail=f"its certificate is not valid: {error.verify_message}")
    except (socket.gaierror, UnicodeError) as error:
        why = getattr(error, "strerror", None) or "no host has such a name"
        return Page(None, detail=f"{host} is not known here: {why}", is_unknown=True)
    except TimeoutError:
        return Page(None, detail="no answer in time")
    except OSError as error:
        is_cut_off = error.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH)
        return Page(None, detail=error.strerror or str(error), is_unknown=is_cut_off)
    except http.client.HTTPException as error:
        return Page(None, detail=f"no HTTP answer ({type(error).__name__})")
    finally:
        connection.close()
