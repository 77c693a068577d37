"""Measuring speed: probes, processes that time one subject on command, and what drives them in turn.

probe      the process: builds one subject, warms it up, and times as many calls as it is told to
boot       starts the probe of this checkout on the code of another one
driver     a probe as seen from outside
paired     blocks of two probes in the order ABBA -> the ratio of their times

compare    is HEAD slower than BASE?  tree: checkouts; gates: what needs no clock; verdict: what pairs prove;
           outcome: what was found; summary: how it is shown
trend      night after night, beside a fixed matrix product
speed      every implementation in turn, beside the matrix products of its step; shapes: which; plausible: what is not
           written of it
"""
