"""Pictures and zips of strangers: small files that ask for large work, beside honest ones."""

import base64
import io
import random
import struct
import tracemalloc
import zipfile
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from agegenderemo.detection import Found
from agegenderemo.errors import ImageError
from agegenderemo.imaging.metadata import jpeg_scans
from agegenderemo.types import Detection, Face
from agegenderemo.web.batch import count_items, read_items
from agegenderemo.web.guard import Store
from agegenderemo.web.guard.names import safe_name
from agegenderemo.web.guard.pictures import BOUNDS, read_faces, read_picture
from agegenderemo.web.guard.zips import BAD_ZIP, Budget, ZipError, check_zip
from agegenderemo.web.live import FrameError, decode_frame

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
ASTRONAUT = ROOT / "examples" / "astronaut.jpg"


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def states_size(jpeg: bytes, width: int, height: int) -> bytes:
    """The JPEG with another size in its header."""
    at = max(jpeg.find(b"\xff\xc0"), jpeg.find(b"\xff\xc2")) + 5
    return jpeg[:at] + height.to_bytes(2, "big") + width.to_bytes(2, "big") + jpeg[at + 4 :]


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    return Image.open(ASTRONAUT).convert("RGB")


def test_a_jpeg_of_108_megapixels_is_read_at_a_half(photo: Image.Image) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    content = encoded(photo.resize((12000, 9000)), "JPEG", exif=exif)
    picture = read_picture(content)
    assert (picture.width, picture.height) == (9000, 12000)
    assert picture.image.shape == (6000, 4500, 3)
    box = (10.0, 20.0, 30.0, 40.0)
    face = Face(Detection(box, 0.9, ((1, 2), (3, 4), (5, 6), (7, 8), (9, 10))), {})
    assert picture.to_full_size(face).box == (20, 40, 60, 80)
    assert picture.to_full_size(face).landmarks[4] == (18, 20)


def test_a_small_picture_stays_as_it_is(photo: Image.Image) -> None:
    picture = read_picture(ASTRONAUT.read_bytes())
    assert np.array_equal(picture.image, np.asarray(photo))
    face = Face(Detection((1, 2, 3, 4), 0.9, ((1, 2),) * 5), {})
    assert picture.to_full_size(face) is face


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "BMP", "GIF", "AVIF", "JPEG2000", "PPM"])
def test_pictures_of_every_kind_are_read(photo: Image.Image, kind: str) -> None:
    assert read_picture(encoded(photo, kind)).image.shape == (512, 512, 3)


def test_a_phone_s_heic_of_12_megapixels_is_read() -> None:
    picture = read_picture((ROOT / "tests" / "files" / "phone.heic").read_bytes())
    assert (picture.width, picture.height) == (4032, 3024)
    face = picture.image[700:1200, 1600:1950].mean()
    assert 100 < face < picture.image[1000:1200, 1700:1900].mean() < 220


def test_files_that_hold_other_files_are_not_opened(photo: Image.Image) -> None:
    with pytest.raises(ImageError, match="it is an icon, not an image"):
        read_picture(encoded(photo.resize((64, 64)), "ICO"), "a.ico")


def test_headers_alone_are_no_work(photo: Image.Image) -> None:
    tiny = encoded(photo.resize((16, 16)), "JPEG")
    picture = read_picture(states_size(tiny, 14000, 14000) + b"\xff\xd9")
    assert picture.image.size <= 3 * BOUNDS.read_pixels
    with pytest.raises(ImageError, match="4290 megapixels"):
        read_picture(states_size(tiny, 65500, 65500))
    progressive = encoded(photo.resize((16, 16)), "JPEG", progressive=True)
    with pytest.raises(ImageError, match="at most 50 are read"):
        read_picture(states_size(progressive, 10000, 10000))


@pytest.mark.parametrize("mode", ["1", "L", "RGB"])
def test_other_formats_have_50_megapixels(mode: str) -> None:
    with pytest.raises(ImageError, match="at most 50 are read"):
        read_picture(encoded(Image.new(mode, (10000, 5001)), "PNG", compress_level=1))


@pytest.mark.parametrize("kind", ["I;16", "F"])
def test_deep_pictures_are_read_small(kind: str) -> None:
    values = np.full((4000, 4000), 300, np.uint16 if kind == "I;16" else np.float32)
    picture = read_picture(encoded(Image.fromarray(values), "TIFF"))
    assert (picture.width, picture.height) == (4000, 4000)
    assert picture.image.shape == (2000, 2000, 3)


def bmp_in_rle(width: int, height: int) -> bytes:
    """One colour, in runs of 200 pixels."""
    rows = height * (width // 200 * b"\xc8\x07" + b"\0\0") + b"\0\1"
    start = 54 + 1024
    head = struct.pack("<2sIHHI", b"BM", start + len(rows), 0, 0, start)
    size = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(rows), 0, 0, 256, 0)
    return head + size + bytes(1024) + rows


def qoi(width: int, height: int) -> bytes:
    return (
        b"qoif" + struct.pack(">IIBB", width, height, 3, 0) + b"\xc0" * (width * height) + bytes(8)
    )


def ppm(kind: bytes, most: int, sample: bytes) -> Callable[[int, int], bytes]:
    return lambda width, height: (
        b"%b %d %d %d\n" % (kind, width, height, most) + (sample * 3 * width * height)
    )


@pytest.mark.parametrize("made", [bmp_in_rle, qoi, ppm(b"P3", 255, b"7 ")])
def test_what_is_decoded_in_python_is_small(made: Callable[[int, int], bytes]) -> None:
    assert read_picture(made(200, 100)).image.shape == (100, 200, 3)
    with pytest.raises(ImageError, match="at most 2 are read"):
        read_picture(made(2000, 1200))


def test_deep_ppm_is_not_decoded_in_python() -> None:
    made = ppm(b"P6", 65535, b"\0\7")
    assert read_picture(made(2000, 1200)).image.shape == (1200, 2000, 3)


def test_jpeg_scans(photo: Image.Image) -> None:
    assert jpeg_scans(encoded(photo, "JPEG")) == (1, True)
    scans, whole = jpeg_scans(encoded(photo, "JPEG", progressive=True))
    assert scans > 5
    assert not whole
    few = encoded(photo.resize((16, 16)), "JPEG", progressive=True)
    last = few[few.rfind(b"\xff\xda") : -2]
    many = few[:-2] + last * 100 + few[-2:]
    for shown in (jpeg_scans(many), jpeg_scans(many.replace(last, b"\xff\x01\xff" + last))):
        assert shown == (scans_of(few) + 100, False)
    with pytest.raises(ImageError, match="too many scans"):
        read_picture(many)


def scans_of(data: bytes) -> int:
    return jpeg_scans(data)[0]


@pytest.mark.parametrize("progressive", [False, True])
def test_a_film_behind_a_photo_has_no_scans(photo: Image.Image, progressive: bool) -> None:
    moving = encoded(photo, "JPEG", progressive=progressive) + random.Random(2).randbytes(2**22)
    assert moving.count(b"\xff\xda") > 64 - 10
    assert scans_of(moving + b"\xff\xda" * 100) < 20
    assert read_picture(moving + b"\xff\xda" * 100).image.shape == np.asarray(photo).shape


def test_a_live_frame_has_few_scans(photo: Image.Image) -> None:
    def frame(jpeg: bytes) -> str:
        return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()

    progressive = encoded(photo.resize((640, 480)), "JPEG", progressive=True)
    assert decode_frame(frame(progressive)).shape == (480, 640, 3)
    empty = encoded(Image.new("L", (1280, 960)), "JPEG", progressive=True)
    last = empty[empty.rindex(b"\xff\xda") : -2]
    with pytest.raises(FrameError, match="few scans"):
        decode_frame(frame(empty[:-2] + 20_000 * last + b"\xff\xd9"))


def test_formats_that_run_other_programs_are_not_opened() -> None:
    for content in (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", b"%PDF-1.4\n",
                    b"<svg xmlns='http://www.w3.org/2000/svg'/>"):  # fmt: skip
        with pytest.raises(ImageError, match="not an image"):
            read_picture(content, "a.eps")


def test_300_mutated_pictures_are_pictures_or_sentences(photo: Image.Image) -> None:
    draw = random.Random(21)
    small = photo.resize((64, 64))
    whole = [encoded(small, kind) for kind in ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")]
    for number in range(300):
        content = bytearray(whole[number % len(whole)])
        for _ in range(draw.randint(1, 20)):
            content[draw.randrange(len(content))] = draw.randrange(256)
        assert _sentence(bytes(content)).endswith(".")


def _sentence(content: bytes) -> str:
    try:
        read_picture(content)
    except ImageError as error:
        return str(error)
    return "It is a picture."


class _Crowd:
    """An analyzer that finds a thousand faces."""

    def __init__(self) -> None:
        self.read = 0

    def find(self, picture: object) -> Found:
        faces = [Detection((0, 0, 1000 - n, 1), 1.0, ((0, 0),) * 5) for n in range(999)]
        return Found(faces, "plain")

    def read_faces(self, picture: object, found: Sequence[Detection]) -> list[Face]:
        self.read += len(found)
        return [Face(one, {}) for one in found]


def test_a_crowd_is_read_up_to_a_number_and_counted() -> None:
    crowd = _Crowd()
    faces, left, search = read_faces(crowd, np.zeros((9, 9, 3), np.uint8))
    assert (len(faces), left, search, crowd.read) == (200, 799, "plain", 200)
    assert faces[0].box[2] == 1000


# ------------------------------------------------------------------ zips


def zipped(entries: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytearray:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return bytearray(stream.getvalue())


def opened(content: bytes | bytearray) -> zipfile.ZipFile:
    return zipfile.ZipFile(io.BytesIO(content))


def test_200_phone_photos_pass() -> None:
    content = ASTRONAUT.read_bytes()
    archive = opened(zipped({f"{n}.jpg": content for n in range(200)}, zipfile.ZIP_STORED))
    check_zip(archive)
    budget = Budget(200 * len(content))
    for member in archive.infolist():
        assert budget.read(archive, member, 10**7) == content
    assert budget.left == 0


def test_entries_that_overlap_are_refused() -> None:
    content = zipped({"a.png": b"\0" * 10**6, "b.png": b"\0" * 10**6})
    second = content.rindex(b"PK\x01\x02")
    content[second + 42 : second + 46] = (0).to_bytes(4, "little")  # both lie at the first
    with pytest.raises(ZipError, match="overlap"):
        check_zip(opened(content))


def test_every_unpacked_byte_counts_also_of_entries_that_fail() -> None:
    archive = opened(zipped({"a": b"\0" * 10**6, "b": b"\0" * 10**6}))
    budget = Budget(1_200_000)
    with pytest.raises(ZipError, match="Larger than"):
        budget.read(archive, archive.infolist()[0], 900_000)
    assert budget.left < 310_000
    with pytest.raises(ZipError, match="unpacks to too much"):
        budget.read(archive, archive.infolist()[1], 900_000)


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_damaged_entry_is_a_sentence(method: int) -> None:
    noise = random.Random(1).randbytes(5000)
    content = zipped({"a.jpg": noise, "b.jpg": b"whole" * 9}, method)
    content[200:1500] = bytes(1300)
    archive = opened(content)
    with pytest.raises(ZipError, match="damaged"):
        Budget(10**6).read(archive, archive.infolist()[0], 10**6)
    assert Budget(10**6).read(archive, archive.infolist()[1], 10**6) == b"whole" * 9


def peak_megabytes(work: Callable[[], object]) -> float:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1] / 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_small_entry_of_much_is_unpacked_a_little_at_a_time(method: int) -> None:
    archive = opened(zipped({"a.jpg": b"\0" * 40_000_000, "b.jpg": b"\0" * 900_000}, method))
    budget = Budget(10**9)

    def read() -> None:
        with pytest.raises(ZipError, match="Larger than"):
            budget.read(archive, archive.infolist()[0], 10**6)

    assert peak_megabytes(read) < 4
    assert budget.left > 10**9 - 1_500_000
    assert budget.read(archive, archive.infolist()[1], 10**6) == b"\0" * 900_000


def test_an_lzma_entry_states_no_memory() -> None:
    content = zipped({"a.jpg": b"whole" * 9}, zipfile.ZIP_LZMA)
    at = 30 + len("a.jpg") + 5  # past version, length and the first property
    content[at : at + 4] = b"\xff\xff\xff\xff"  # a dictionary of 4 GB
    archive = opened(content)
    assert Budget(10**6).read(archive, archive.infolist()[0], 10**6) == b"whole" * 9


@pytest.mark.parametrize("entries", [21_000, 400_000])
def test_a_zip_of_too_many_entries_is_no_work(tmp_path: Path, entries: int) -> None:
    directory = entries * (b"PK\1\2" + bytes(42))
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 0, 0, len(directory), 0, 0)
    with closing(Store(parent=tmp_path)) as store:
        path = store.new_path("a.zip")
        path.write_bytes(directory + end)
        assert count_items([path], store) == 1
        (item,) = read_items([path], store)
        assert item.error == "The zip has more than 20000 entries."
        if entries > 21_000:  # their directory alone is too large to be looked at
            assert peak_megabytes(lambda: list(read_items([path], store))) < 20


def test_300_mutated_zips_are_read_or_refused() -> None:
    draw = random.Random(21)
    methods = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
    whole = [zipped({"a.jpg": b"one" * 99, "b/c.png": b"two" * 50}, one) for one in methods]
    outcomes = set()
    for number in range(300):
        content = bytearray(whole[number % len(whole)])
        for _ in range(draw.randint(1, 12)):
            content[draw.randrange(len(content))] = draw.randrange(256)
        outcomes.add(_outcome(bytes(content)))
    assert len(outcomes) > 2


def _outcome(content: bytes) -> str:
    try:
        archive = opened(content)
        check_zip(archive)
        for member in archive.infolist():
            assert safe_name(member.filename)
            Budget(10**5).read(archive, member, 10**5)
    except ZipError as error:
        return str(error)
    except BAD_ZIP:
        return "not opened"
    return "read"
