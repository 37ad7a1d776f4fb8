"""Stands in for the package of this name, which tccli takes its CAs from: those in the file that SSL_CERT_FILE names."""

import os


def where():
    return os.environ["SSL_CERT_FILE"]
