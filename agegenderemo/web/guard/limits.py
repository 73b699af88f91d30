"""Every number that bounds a stranger, in one frozen record."""

from dataclasses import dataclass, fields

MB = 2**20


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one server. Bytes, counts and seconds; all positive, ValueError otherwise.

    "address" is a client as `client_address` counts them: an IPv4 address, or an IPv6 /64.
    """

    body_bytes: int = 1_000_000
    """Of any request but an upload."""
    tool_bytes: int = 16_000_000
    """Of an assistant's call of the tool, which carries a picture."""
    json_depth: int = 16
    json_nests: int = 5000
    """Lists and objects of a body together."""
    json_items: int = 20_000
    """Commas of a body: 500 files of a call have about eight each."""
    address_body_bytes: int = 32 * MB
    """Of bodies that one address is sending at this moment, uploads apart."""
    all_body_bytes: int = 96 * MB

    picture_bytes: int = 50 * MB
    zip_bytes: int = 1000 * MB
    film_bytes: int = 200 * MB
    film_seconds: float = 120
    """Of a film; what comes after them is not read."""
    film_frames: int = 7500
    film_pixels: int = 9_500_000
    """Of a frame: 4096×2304."""
    film_work_seconds: float = 300
    """That a film may be read for."""
    film_memory_bytes: int = 2000 * MB
    """Of the process that reads one."""
    request_files: int = 500
    request_bytes: int = 1001 * MB
    """An upload with its boundaries and headers."""
    address_files: int = 2000
    address_bytes: int = 2000 * MB
    """Of files that one address has in the store."""
    all_bytes: int = 8000 * MB
    address_uploads: int = 8
    all_uploads: int = 64

    address_requests: int = 256
    """Open at once; a page holds two to four, and a household or a class shares an address."""
    all_requests: int = 1024
    address_rate: float = 0.3
    """Seconds of the event loop's time a second, for one address."""
    address_burst: float = 3.0
    address_patience: float = 15.0
    """Who is over the rate waits, at most so long."""
    session_events: int = 16
    """Calls of one page, or of one client, that wait for gradio's queue."""
    address_events: int = 64
    """And of all of an address: people of one network must not shut each other out."""
    address_sessions: int = 64
    """Pages of an address whose last photo is remembered; gradio keeps those of 512 in all."""
    call_seconds: float = 45.0
    """A call that waits longer for that is refused; proxies often end a request after 60."""

    frames_at_once: int = 2
    address_frames: int = 128
    """Live frames of one address that wait."""
    all_frames: int = 512
    frame_seconds: float = 4.0
    """A live frame that waited longer is answered as busy."""

    picture_seconds: float = 60
    """For the reading of one picture; so long it also waits for a thread, at most."""

    keep_seconds: float = 30 * 60
    """Uploads and results older than this are deleted."""
    sweep_seconds: float = 60
    idle_seconds: float = 20
    """A request that sends nothing for so long is closed."""
    body_seconds: float = 60
    """For a whole body, uploads apart."""
    upload_seconds: float = 30 * 60

    def __post_init__(self) -> None:
        for field in fields(self):
            if not getattr(self, field.name) > 0:
                raise ValueError(f"The limit {field.name} must be positive.")

    @property
    def promise_seconds(self) -> float:
        """After this long no file is left: its age, and the wait for the next sweep."""
        return self.keep_seconds + self.sweep_seconds
