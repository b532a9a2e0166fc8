"""Damages files: bytes at random, and what their formats are made of."""

import io
import json
import re
import struct
import zipfile
import zlib

BYTES = [b"\0", b"\xff", b"\n", b"\r", b'"', b",", b" ", b"\x1b", b"-", b"9"]
CELLS = [
    "", " ", "-1", "0", "7", "1e400", "-1e400", "nan", "inf", "1_0", "0x10",
    "=1+1", '"', '""', '5"', "\0", "\r", "\n", "\x1b[2J", "\u2028", "\ufeff",
    "../a.png", "../../etc/passwd", "/etc/passwd", "a.png\0.jpg", ".", "..",
    "a" * 5000, "9" * 400, "٣", "é", "=cmd|' /C calc'!A0", "None", "1;2", ";",
]  # fmt: skip
VALUES = [None, True, -1, 0, 1, 2, 1.5, "", "x", [], {}, [1], {"a": 1}, "é"]
ENCODINGS = ["utf-16", "latin-1", "utf-8-sig", "utf-32"]
LARGEST = 2**18


def damage_bytes(rng, content, others=(b"",)):
    """One to four changes anywhere."""
    content = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(content) + 1)
        end = min(len(content), at + rng.choice([1, 2, 4, 16, 256, 4096]))
        kind = rng.randrange(8)
        if kind == 0 and at < len(content):
            content[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            content[at : at + 1] = rng.choice(BYTES)
        elif kind == 2:
            del content[at:end]
        elif kind == 3:
            content[at:at] = content[at:end] * rng.choice([1, 2, 50])
        elif kind == 4:
            content[at:at] = rng.randbytes(rng.choice([1, 2, 4, 8, 100]))
        elif kind == 5:
            del content[at:]
        elif kind == 6:
            other = rng.choice(others)
            begin = rng.randrange(len(other) + 1)
            content[at:end] = other[begin : begin + end - at]
        else:
            content[at:end] = bytes(end - at)
    return bytes(content[:LARGEST])


def damage_text(rng, content, others=(b"",)):
    """Cells and lines of a table, or of a list of words."""
    if rng.random() < 0.25:
        return damage_bytes(rng, content, others)
    text = content.decode("utf-8")
    comma = "," if "," in text else " "
    lines = [line.split(comma) for line in text.split("\n")]
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(lines))
        cells = lines[at]
        cell = rng.randrange(len(cells))
        kind = rng.randrange(9)
        if kind <= 3:
            cells[cell] = rng.choice(CELLS)
        elif kind == 4:
            cells[cell] = f'"{cells[cell]}{rng.choice(CELLS)}"'
        elif kind == 5:
            cells.insert(cell, rng.choice(CELLS))
        elif kind == 6 and len(cells) > 1:
            del cells[cell]
        elif kind == 7:
            lines.insert(rng.randrange(len(lines) + 1), list(cells))
        elif len(lines) > 1:
            del lines[at]
    end = rng.choice(["\n", "\n", "\n", "\r\n", "\r", "\n\n"])
    text = end.join(comma.join(cells) for cells in lines)
    if rng.random() < 0.1:
        return text.encode(rng.choice(ENCODINGS), "replace")
    return text.encode("utf-8")


def damage_json(rng, content, others=(b"",)):
    """Values of a JSON file, none of them large."""
    if rng.random() < 0.25:
        return damage_bytes(rng, content, others)
    root = [json.loads(content)]
    for _ in range(rng.randint(1, 3)):
        places = list(_places(root))
        parent, key = rng.choice(places)
        if rng.random() < 0.3 and parent is not root:
            del parent[key]
        else:
            parent[key] = rng.choice([*VALUES, rng.choice(places)[0]])
            if _is_endless(root):
                parent[key] = None
    return json.dumps(root[0]).encode()


def _places(value):
    keys = value if isinstance(value, dict) else range(len(value))
    for key in list(keys):
        yield value, key
        if isinstance(value[key], (dict, list)):
            yield from _places(value[key])


def _is_endless(value):
    try:
        json.dumps(value)
    except ValueError:
        return True
    return False


def damage_npy(rng, content, others=(b"",)):
    """The header of an array: version, type, order and shape."""
    header = re.match(rb"\x93NUMPY\x01\x00..(.*?)\n", content, re.DOTALL)
    if header is None or rng.random() < 0.3:
        return damage_bytes(rng, content, others)
    text = header[1].decode("latin-1")
    kind = rng.randrange(4)
    if kind == 0:
        number = rng.choice(["-1", "0", "10", "4294967296", "99999999999999"])
        text = re.sub(r"\d+(?=[,)])", number, text, count=rng.randint(1, 2))
    elif kind == 1:
        types = ["|O", "<f8", "|S0", "<U9", "|V4", "<M8[s]", "<c16", ">i2", ""]
        text = re.sub(
            r"'descr': '.*?'", f"'descr': '{rng.choice(types)}'", text
        )
    elif kind == 2:
        text = text.replace("False", rng.choice(["True", "None", "1/0", "[]"]))
    else:
        text = damage_bytes(rng, text.encode("latin-1")).decode("latin-1")
    version = rng.choice([b"\1\0", b"\1\0", b"\2\0", b"\3\0", b"\4\0"])
    size = "<H" if version == b"\1\0" else "<I"
    text = text.encode("latin-1")[:9000] + b"\n"
    values = content[header.end() :]
    return b"\x93NUMPY" + version + struct.pack(size, len(text)) + text + values


def damage_zip(rng, content, damage_member):
    """A member, or what the archive says of it."""
    kind = rng.randrange(6)
    if kind == 0:
        return damage_bytes(rng, content)
    if kind == 1:
        # The list of contents is at the end.
        at = content.find(b"PK\1\2")
        return content[:at] + damage_bytes(rng, content[at:])
    if kind == 2:
        at = [each.start() for each in re.finditer(b"PK\1\2", content)]
        at = rng.choice(at) + rng.choice([8, 10, 20, 24, 28, 30, 42])
        number = rng.choice([0, 1, 8, 9, 99, 2**16, 2**31, 2**32 - 1])
        changed = bytearray(content)
        changed[at : at + 4] = number.to_bytes(4, "little")
        return bytes(changed)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    at = rng.randrange(len(members))
    name, member = members[at]
    if kind == 3:
        names = ["", "../a", "/a", name.upper(), name + ".npy", "\0", name * 99]
        members[at] = rng.choice(names), member
    elif rng.random() < 0.15:
        members.append(members.pop(at)) if rng.random() < 0.5 else members.pop(
            at
        )
    else:
        members[at] = name, damage_member(rng, name, member)
    file = io.BytesIO()
    compression = rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, member in members:
            archive.writestr(zipfile.ZipInfo(name), member, compression)
    return file.getvalue()


def damage_image(rng, content, others=(b"",)):
    """Chunks of PNG files, segments of JPEG files, bytes of all others."""
    if rng.random() < 0.5:
        return damage_bytes(rng, content, others)
    if content[:4] == b"\x89PNG":
        return _damage_png(rng, content)
    if content[:2] == b"\xff\xd8":
        return _damage_jpeg(rng, content)
    # Sizes stand in the first bytes.
    return damage_bytes(rng, content[:64]) + content[64:]


def _damage_png(rng, content):
    chunks, at = [], 8
    while at < len(content):
        (size,) = struct.unpack(">I", content[at : at + 4])
        kind = content[at + 4 : at + 8]
        chunks.append((kind, content[at + 8 : at + 8 + size]))
        at += 12 + size
    place = rng.randrange(len(chunks))
    kind, data = chunks[place]
    choice = rng.randrange(5)
    if choice == 0:
        header = bytearray(chunks[0][1])
        header[rng.randrange(13)] = rng.choice([0, 1, 2, 3, 4, 6, 8, 16, 255])
        chunks[0] = b"IHDR", bytes(header)
    elif choice == 1:
        chunks[place] = kind, damage_bytes(rng, data)
    elif choice == 2:
        del chunks[place]
    elif choice == 3:
        chunks.insert(rng.randrange(len(chunks) + 1), (kind, data))
    else:
        text = b"a\0\0" + zlib.compress(bytes(rng.choice([10, 2**21])))
        kinds = [b"zTXt", b"iTXt", b"iCCP", b"tRNS", b"PLTE", b"eXIf", b"acTL"]
        chunks.insert(1, (rng.choice(kinds), text))
    return content[:8] + b"".join(
        struct.pack(">I", len(data))
        + kind
        + data
        + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def _damage_jpeg(rng, content):
    segments, at = [], 2
    while content[at + 1] != 0xDA:
        (size,) = struct.unpack(">H", content[at + 2 : at + 4])
        segments.append(content[at : at + 2 + size])
        at += 2 + size
    place = rng.randrange(len(segments))
    choice = rng.randrange(5)
    if choice == 0:
        for index, each in enumerate(segments):
            if each[1] in (0xC0, 0xC2):
                frame = bytearray(each)
                frame[rng.randrange(4, len(frame))] = rng.choice([0, 1, 4, 255])
                segments[index] = bytes(frame)
    elif choice == 1:
        segments[place] = damage_bytes(rng, segments[place])
    elif choice == 2:
        del segments[place]
    elif choice == 3:
        segments.insert(rng.randrange(len(segments) + 1), segments[place])
    else:
        exif = (
            b"Exif\0\0" + rng.choice([b"II*\0", b"MM\0*"]) + rng.randbytes(40)
        )
        marker = b"\xff" + bytes([rng.choice([0xE1, 0xE2, 0xED, 0xEE])])
        segments.insert(0, marker + struct.pack(">H", len(exif) + 2) + exif)
    return content[:2] + b"".join(segments) + content[at:]
