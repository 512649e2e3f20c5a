"""JPEG 2000 by OpenJPEG itself: strict, and with every warning told.

The library is the one that Pillow brings and loads; Pillow and GDCM decode with it, too, but keep its warnings to
themselves. Only the functions and fields of its public header ``openjpeg.h`` (ABI 7) are used.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import features

from operators.reading.codestreams.frame_header import CodestreamError

_CODESTREAM = 0  # OPJ_CODEC_J2K
_PARAMETER_BYTES = 65536  # room for opj_dparameters_t, whose size differs between versions
_NOTHING_MORE = ctypes.c_size_t(-1).value
_MESSAGE = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_void_p)
_READ = ctypes.CFUNCTYPE(ctypes.c_size_t, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p)
_SKIP = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p)
_SEEK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int64, ctypes.c_void_p)


class _Component(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_uint32) for name in ("dx", "dy", "width", "height", "x0", "y0", "precision", "bpp")),
        *((name, ctypes.c_uint32) for name in ("signed", "resolutions", "factor")),
        ("data", ctypes.POINTER(ctypes.c_int32)),
        ("alpha", ctypes.c_uint16),
    )


class _Image(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_uint32) for name in ("x0", "y0", "x1", "y1", "count")),
        ("colour_space", ctypes.c_int),
        ("components", ctypes.POINTER(_Component)),
        ("profile", ctypes.c_void_p),
        ("profile_bytes", ctypes.c_uint32),
    )


_POINTER, _IMAGE = ctypes.c_void_p, ctypes.POINTER(_Image)
_FUNCTIONS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "opj_create_decompress": (_POINTER, (ctypes.c_int,)),
    "opj_stream_default_create": (_POINTER, (ctypes.c_int,)),
    "opj_set_default_decoder_parameters": (None, (_POINTER,)),
    "opj_setup_decoder": (ctypes.c_int, (_POINTER, _POINTER)),
    "opj_decoder_set_strict_mode": (ctypes.c_int, (_POINTER, ctypes.c_int)),
    "opj_set_warning_handler": (ctypes.c_int, (_POINTER, _MESSAGE, _POINTER)),
    "opj_set_error_handler": (ctypes.c_int, (_POINTER, _MESSAGE, _POINTER)),
    "opj_stream_set_read_function": (None, (_POINTER, _READ)),
    "opj_stream_set_skip_function": (None, (_POINTER, _SKIP)),
    "opj_stream_set_seek_function": (None, (_POINTER, _SEEK)),
    "opj_stream_set_user_data_length": (None, (_POINTER, ctypes.c_uint64)),
    "opj_read_header": (ctypes.c_int, (_POINTER, _POINTER, ctypes.POINTER(_IMAGE))),
    "opj_decode": (ctypes.c_int, (_POINTER, _POINTER, _IMAGE)),
    "opj_end_decompress": (ctypes.c_int, (_POINTER, _POINTER)),
    "opj_image_destroy": (None, (_IMAGE,)),
    "opj_stream_destroy": (None, (_POINTER,)),
    "opj_destroy_codec": (None, (_POINTER,)),
}


def decode(codestream: bytes) -> tuple[NDArray[np.int32], list[str]]:
    """Return the samples of the first component, (rows, columns) int32, and every warning of the library.

    Raises
    ------
    CodestreamError
        If it cannot be decoded; strict mode: not even in part.
    """
    library = _library()
    messages: list[str] = []

    def note(text: bytes, _: object) -> None:
        messages.append(text.decode("ascii", "replace").strip())

    image = _IMAGE()
    with _stream(library, codestream) as stream, _decompressor(library, _MESSAGE(note)) as codec:
        try:
            if not (
                library.opj_read_header(stream, codec, ctypes.byref(image))
                and library.opj_decode(codec, stream, image)
                and library.opj_end_decompress(codec, stream)
                and image.contents.components[0].data
            ):
                raise CodestreamError("the JPEG 2000 stream cannot be decoded")
            first = image.contents.components[0]
            return np.ctypeslib.as_array(first.data, (first.height, first.width)).copy(), messages
        finally:
            if image:
                library.opj_image_destroy(image)


@contextmanager
def _decompressor(library: ctypes.CDLL, note: Any) -> Iterator[int]:
    """Give a strict decompressor that tells its warnings and errors to ``note``."""
    codec = library.opj_create_decompress(_CODESTREAM)
    try:
        parameters = ctypes.create_string_buffer(_PARAMETER_BYTES)
        library.opj_set_default_decoder_parameters(parameters)
        library.opj_set_warning_handler(codec, note, None)
        library.opj_set_error_handler(codec, note, None)
        if not (library.opj_setup_decoder(codec, parameters) and library.opj_decoder_set_strict_mode(codec, 1)):
            raise CodestreamError("OpenJPEG does not start")
        yield codec
    finally:
        library.opj_destroy_codec(codec)


@contextmanager
def _stream(library: ctypes.CDLL, content: bytes) -> Iterator[int]:
    """Give a stream that reads bytes in memory."""
    position = 0

    def read(buffer: int, count: int, _: object) -> int:
        nonlocal position
        chunk = content[position : position + count]
        ctypes.memmove(buffer, chunk, len(chunk))
        position += len(chunk)
        return len(chunk) or _NOTHING_MORE

    def skip(count: int, _: object) -> int:
        nonlocal position
        step = min(count, len(content) - position)
        position += step
        return step or -1

    def seek(target: int, _: object) -> int:
        nonlocal position
        position = min(max(target, 0), len(content))
        return int(position == target)

    callbacks = _READ(read), _SKIP(skip), _SEEK(seek)  # kept: the library calls them while the context is open
    stream = library.opj_stream_default_create(1)
    try:
        library.opj_stream_set_read_function(stream, callbacks[0])
        library.opj_stream_set_skip_function(stream, callbacks[1])
        library.opj_stream_set_seek_function(stream, callbacks[2])
        library.opj_stream_set_user_data_length(stream, len(content))
        yield stream
    finally:
        library.opj_stream_destroy(stream)


@cache
def _library() -> ctypes.CDLL:
    """Return the library that Pillow has loaded."""
    if not features.check_codec("jpg_2000"):
        raise RuntimeError("this Pillow cannot read JPEG 2000")
    mapped = (line.split()[-1] for line in Path("/proc/self/maps").read_text("utf-8").splitlines())
    path = next((name for name in mapped if Path(name).name.startswith("libopenjp2")), None)
    if path is None:
        raise RuntimeError("the library OpenJPEG of Pillow is not found")
    library = ctypes.CDLL(path)
    for name, (result, arguments) in _FUNCTIONS.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library
