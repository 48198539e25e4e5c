"""Values of the SDK as those of the contract, and back."""

from datetime import timedelta

from . import _host
from ._message import Header, Message
from ._outcomes import Done, Outcome, Retry, Skipped
from ._plugin import Plugin, RetryPolicy
from wit_world.exports import lifecycle
from wit_world.imports import messages


def description(plugin: Plugin[...]) -> lifecycle.Description:
    """The description of a plugin."""
    subscription = lifecycle.Subscription(
        topic=plugin.topic,
        group=plugin.group,
        dead_letter_topic=plugin.dead_letter_topic,
        retry=_retry_policy(plugin.retry),
    )
    attributes = [] if plugin.max_batch == 1 else [("max-batch", str(plugin.max_batch))]
    return lifecycle.Description(plugin.name, plugin.version, plugin.summary, subscription, attributes)


def _retry_policy(policy: RetryPolicy) -> lifecycle.RetryPolicy:
    return lifecycle.RetryPolicy(
        retries=policy.retries,
        delay_ms=_milliseconds(policy.delay),
        multiplier=float(policy.multiplier),
        max_delay_ms=_milliseconds(policy.max_delay),
        jitter=float(policy.jitter),
        max_age_ms=_milliseconds(policy.max_age),
    )


def _milliseconds(duration: timedelta) -> int:
    return duration // timedelta(milliseconds=1)


def received(message: messages.Message) -> Message:
    """A message from the host."""
    return Message(
        message.id,
        message.topic,
        message.partition,
        message.offset,
        message.timestamp_ms,
        message.key,
        message.value,
        tuple([Header(header.key, header.value) for header in message.headers]),
        message.attempt,
        message.max_attempts,
        dict(message.attributes),
    )


def wire(outcome: Outcome) -> messages.Outcome:
    """An outcome for the host. What is no text would end the component without a word about it."""
    if isinstance(outcome, Done):
        return messages.Outcome_Done(_host.text(outcome.receipt, "the receipt of Done"))
    if isinstance(outcome, Skipped):
        return messages.Outcome_Skipped(_host.text(outcome.reason, "the reason of Skipped"))
    failure = messages.Failure(_host.text(outcome.code, "the code"), _host.text(outcome.detail, "the detail"))
    if isinstance(outcome, Retry):
        after = None if outcome.after is None else _milliseconds(outcome.after)
        return messages.Outcome_Retry(messages.RetryLater(failure, after))
    return messages.Outcome_Reject(failure)
