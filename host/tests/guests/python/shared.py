"""What the guests in Python share."""

from wit_world.exports.lifecycle import Description, RetryPolicy, Subscription


def description(base: str, attributes: list[tuple[str, str]]) -> Description:
    name = f"{base}-py"
    retry = RetryPolicy(
        retries=5, delay_ms=1000, multiplier=2.0, max_delay_ms=3_600_000, jitter=0.0, max_age_ms=86_400_000
    )
    subscription = Subscription(topic=name, group=f"{name}-group", dead_letter_topic=f"{name}.dlt", retry=retry)
    return Description(
        name=name, version="0.1.0", summary="A guest in Python", subscription=subscription, attributes=attributes
    )
