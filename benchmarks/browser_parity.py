"""The browser's answers against Python's: the same files, decoded and read by the static page in
headless Chromium and by the package. Prints a Markdown table.

    python benchmarks/browser_parity.py --root DATA
"""

import argparse
import base64
import sys
import tempfile
import threading
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from chromium import CHROMIUM, FLAGS

from agegenderemo import Analyzer, load_image
from agegenderemo.model_info import Precision
from agegenderemo.resources import PHOTOS, default_checkpoint, resource_folder
from agegenderemo.results import picture_record
from agegenderemo.web.static_site.build import build_site
from agegenderemo.web.static_site.runtime import find_runtime
from agegenderemo.web.static_site.serve import server
from agegenderemo.web.static_site.write import write_site

READ = """async ([name, content]) => {
  const { app } = await (await fetch("./site.json")).json();
  const [{ Device }, { decode }] = await Promise.all(
    ["device.js", "picture.js"].map((one) => import("./" + app + "/" + one)),
  );
  const device = await Device.shared(new URL("./site.json", document.baseURI).href);
  const bytes = Uint8Array.from(atob(content), (one) => one.charCodeAt(0));
  return device.readPhoto(name, await decode(new File([bytes], name)));
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, required=True, help="where utkface.zip lies")
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--runtime", type=Path, help="the runtime's package; default: fetched once")
    args = parser.parse_args()
    if CHROMIUM is None:
        sys.exit("Chromium is not installed.")
    folder = resource_folder("examples")
    sets = {
        "the examples": {name: (folder / name).read_bytes() for name in PHOTOS},
        "UTKFace": dict(_utkface(args.root / "utkface.zip", args.pictures)),
    }
    print("\n| pictures | precision | faces | boxes, px | landmarks, px | regressions | "
          "probabilities | labels, flags that differ |")  # fmt: skip
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    precisions: tuple[Precision, ...] = ("float", "int8")
    for precision in precisions:
        analyzer = Analyzer.from_checkpoint(precision=precision)
        with _page(precision, args.runtime) as page:
            for name, files in sets.items():
                print(f"| {len(files)}, {name} | {precision} | {_row(analyzer, page, files)} |")


def _utkface(path: Path, count: int) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(path) as archive:
        names = sorted(n for n in archive.namelist() if n.lower().endswith((".jpg", ".webp")))
        if len(names) < count:
            sys.exit(f"{path} has {len(names)} pictures.")
        for name in names[:: max(1, len(names) // count)][:count]:
            yield name.split("/")[-1], archive.read(name)


@contextmanager
def _page(precision: Precision, runtime: Path | None) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder:
        site = Path(folder) / "site"
        write_site(build_site(default_checkpoint(), precision, find_runtime(runtime)), site)
        with server(site, 0) as serving, sync_playwright() as playwright:
            threading.Thread(target=serving.serve_forever, daemon=True).start()
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            page = browser.new_page()
            page.goto(f"http://127.0.0.1:{serving.server_address[1]}/")
            yield page
            browser.close()
            serving.shutdown()


def _row(analyzer: Analyzer, page: Any, files: Mapping[str, bytes]) -> str:
    """How far apart at most, and how many labels and flags differ. Records are rounded: what lies
    on a half may be apart by their last digit."""
    far = {"box": 0.0, "landmarks": 0.0, "number": 0.0, "share": 0.0}
    count = other = 0
    for name, content in files.items():
        theirs = page.evaluate(READ, [name, base64.b64encode(content).decode()])
        ours = _record(analyzer, name, content)
        count += len(ours["faces"])
        if len(ours["faces"]) != len(theirs["faces"]):
            print(f"{name}: {len(ours['faces'])} and {len(theirs['faces'])} faces", file=sys.stderr)
            other += abs(len(ours["faces"]) - len(theirs["faces"]))
            continue
        for one, two in zip(ours["faces"], theirs["faces"], strict=True):
            far["box"] = max(far["box"], _apart(one["box"], two["box"]))
            for a, b in zip(one["landmarks"], two["landmarks"], strict=True):
                far["landmarks"] = max(far["landmarks"], _apart(a, b))
            other += one["quality_flags"] != two["quality_flags"]
            for spec in analyzer.tasks:
                if spec.kind == "regression":
                    far["number"] = max(far["number"], abs(one[spec.name] - two[spec.name]))
                    continue
                other += one[spec.name] != two[spec.name]
                key = f"{spec.name}_probability" if spec.kind == "binary" else (
                    spec.probabilities_key
                )  # fmt: skip
                a, b = one[key], two[key]
                pairs = [(a, b)] if spec.kind == "binary" else [(a[k], b[k]) for k in a]
                same = spec.kind != "binary" or one[spec.name] == two[spec.name]
                far["share"] = max(far["share"], *(abs(x - y) for x, y in pairs if same), 0.0)
    return (
        f"{count} | {far['box']:.2f} | {far['landmarks']:.2f} | {far['number']:.2f} | "
        f"{far['share']:.4f} | {other}"
    )


def _record(analyzer: Analyzer, name: str, content: bytes) -> dict[str, Any]:
    image = load_image(content)
    found = analyzer.find(image)
    faces = analyzer.read_faces(image, found.detections)
    return picture_record(name, image, faces, found.search, analyzer.network)


def _apart(a: Sequence[float], b: Sequence[float]) -> float:
    return max(abs(x - y) for x, y in zip(a, b, strict=True))


if __name__ == "__main__":
    main()
