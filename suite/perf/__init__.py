"""Measuring speed: probes, processes that time one subject on command, and what drives them in turn.

probe      the process: builds one subject, warms it up, and times as many calls as it is told to
driver     starts a probe in a checkout and talks to it
paired     blocks of two probes in the order ABBA -> the ratio of their times, with its interval
"""
