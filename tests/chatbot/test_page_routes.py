import pytest

from chatbot.page_routes import is_page_route


@pytest.mark.parametrize(
    ("method", "path", "is_open"),
    [
        ("GET", "/", True),
        ("GET", "/studio", True),
        ("GET", "/studio/", True),
        ("POST", "/gradio_api/queue/join", True),
        ("POST", "/studio/gradio_api/queue/join", True),
        ("GET", "/studio/gradio_api/file=/tmp/gradio/x/report.jsonl", True),
        ("POST", "/studio/gradio_api/upload", True),
        ("POST", "/gradio_api/upload", False),
        ("GET", "/gradio_api/file=/tmp/gradio/x", False),
        ("GET", "/gradio_api/file=http://169.254.169.254/latest", False),
        ("GET", "/studio/gradio_api/file=http://169.254.169.254/latest", False),
        ("GET", "/studio/gradio_api/file=http:/169.254.169.254/latest", False),
        ("GET", "/gradio_api/proxy=https://x.hf.space/", False),
        ("POST", "/gradio_api/run/predict", False),
        ("POST", "/gradio_api/call/on_send", False),
        ("POST", "/gradio_api/component_server", False),
        ("POST", "/gradio_api/cancel", False),
        ("POST", "/login", False),
        ("GET", "/monitoring", False),
        ("GET", "/studiox", False),
        ("DELETE", "/", False),
    ],
)
def test_only_what_the_pages_use_is_open(method: str, path: str, is_open: bool) -> None:
    assert is_page_route(method, path) is is_open
