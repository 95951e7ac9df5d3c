"""Anchors of headings as GitHub makes them, so that links work in both places."""

import re


def github(text, separator):
    return re.sub(r"[^\w -]", "", text.lower()).strip().replace(" ", separator)
