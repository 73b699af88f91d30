"""``agegenderemo static``: the product as a folder of files, for any static host."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from agegenderemo.cli.common import Arguments, Command, add_checkpoint, checkpoint_path

if TYPE_CHECKING:
    from agegenderemo.web.static_site.build import Site

_PORT = 8000


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="a new folder, or one that this command wrote before",
    )
    add_checkpoint(parser)
    parser.add_argument(
        "--precision",
        choices=("float", "int8"),
        help="what the network computes convolutions in; default: int8, of which there is less to "
        "load, where the checkpoint has such a graph",
    )
    parser.add_argument(
        "--runtime",
        type=Path,
        metavar="FILE|DIR",
        help="ONNX Runtime for browsers, the npm package onnxruntime-web as .tgz or unpacked; "
        "default: fetched once",
    )
    parser.add_argument(
        "--serve",
        nargs="?",
        type=int,
        const=_PORT,
        metavar="PORT",
        help=f"then serve the folder on this machine, to look at it; default: {_PORT}",
    )


def _run(args: Arguments) -> int:
    from agegenderemo.web.static_site.build import build_site, usual_precision
    from agegenderemo.web.static_site.runtime import find_runtime
    from agegenderemo.web.static_site.serve import server
    from agegenderemo.web.static_site.write import check_folder, write_site

    check_folder(args.out)  # before anything is fetched
    checkpoint = checkpoint_path(args)
    precision = args.precision or usual_precision(checkpoint)
    site = build_site(checkpoint, precision, find_runtime(args.runtime))
    write_site(site, args.out)
    _print_sizes(site, args.out)
    if args.serve is not None:
        with server(args.out, args.serve) as serving:
            print(f"http://127.0.0.1:{serving.server_address[1]}/ (Ctrl+C ends it)", flush=True)
            try:
                serving.serve_forever()
            except KeyboardInterrupt:
                print()
    return 0


def _print_sizes(site: "Site", out: Path) -> None:
    """A line a file, the largest first; modules and icons are a line together."""
    rows = sorted(site.rows, key=lambda row: -row.bytes)
    large = [row for row in rows if row.path.startswith("files/")]
    small = [row for row in rows if row not in large]
    lines = [(row.path, row.bytes, row.gzip_bytes) for row in large]
    lines.append((f"{len(small)} files of the page", sum(row.bytes for row in small), None))
    width = max(len(name) for name, _, _ in lines)
    print(f"{'file':{width}}  {'kB':>8}  {'gzip kB':>8}")
    for name, size, packed in lines:
        print(f"{name:{width}}  {_kb(size):>8}  {_kb(packed):>8}")
    total, loaded = sum(map(len, site.files.values())), sum(row.loaded for row in rows)
    print(f"{out}: {total / 1e6:.1f} MB in {len(site.files)} files; ", end="")
    print(f"a visitor loads {loaded / 1e6:.1f} MB, once")


def _kb(size: int | None) -> str:
    return "" if size is None else f"{size / 1e3:,.1f}"


COMMAND = Command(
    "static", "write the page as files that a browser runs by itself", _add_arguments, _run
)
