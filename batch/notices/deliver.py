"""Sending through apprise; the only module that needs the extra `notices`."""

import logging
import socket
from collections.abc import Sequence

import apprise

from batch.notices.addresses import Address
from batch.notices.finding import Notice
from batch.notices.sender import Send


def connect_apprise(addresses: Sequence[Address]) -> list[tuple[Address, Send]]:
    """Return what sends to each address.

    Raises:
        ValueError: It does not know an address; the message names the place and no URL.
    """
    for name in ("apprise", "urllib3"):  # what they say of a failure may hold a URL
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    asset = apprise.AppriseAsset(app_id="Almanac", app_desc="Almanac", app_url="", async_mode=False)
    return [(address, _sender(asset, address)) for address in addresses]


def _sender(asset: apprise.AppriseAsset, address: Address) -> Send:
    target = apprise.Apprise.instantiate(address.url, asset=asset)
    if target is None:
        raise ValueError(
            f"address {address.place} of ALMANAC_NOTICES is none that apprise knows: write it as "
            "https://appriseit.com/services shows, such as json://host/path or error=tgram://token/chat"
        )
    kinds = {"info": apprise.NotifyType.INFO, "warning": apprise.NotifyType.WARNING}
    host = socket.gethostname()

    def send(notice: Notice) -> bool:
        kind = (
            apprise.NotifyType.SUCCESS
            if notice.is_good
            else kinds.get(notice.severity, apprise.NotifyType.FAILURE)
        )
        title = f"Almanac: {notice.title}"
        return bool(target.notify(title=title, body=f"{notice.text}\n(from {host})", notify_type=kind))

    return send
