"""Posts each message to the URL that it names."""

from typing import Any

from kafka_host_plugin import Done, http, plugin


@plugin(name="webhook-py", version="0.1.0", summary="Posts messages", topic="webhook-py")
def handle(event: dict[str, Any]) -> Done:
    return Done(http.request("POST", event["url"], json=event).body.decode())
