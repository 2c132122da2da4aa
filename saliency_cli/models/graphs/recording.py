"""A saved graph's operations put into the graph being traced, and onto the tape.

`import_graph_def` adds operations behind the back of `tf.GradientTape`, which records only what Python
calls. So each new operation is recorded here, with the gradient registered for its type: the same record
that a call from Python would have left. Then a model that was a file is differentiated, tapped at its
layers and searched for its head like one that is Python.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from saliency_cli.autodiff.runtime import tf
from saliency_cli.errors import ModelError
from saliency_cli.models.graphs.calls import newly_named

Tensor = Any


def import_recorded(graph_def: Any, given: Mapping[str, Tensor], wanted: Sequence[str]) -> list[Tensor]:
    """Import a graph with some tensors given, and return the tensors wanted.

    Inside a traced graph only. Operations are recorded in the order of their making, which is one in
    which each comes after its inputs.
    """
    from tensorflow.python.eager import context, record  # neither these nor the tape's own record has a public name

    graph = tf.compat.v1.get_default_graph()
    before = len(graph.get_operations())
    named = newly_named(graph_def)
    # The import tells the graph of the bodies of loops, and a forward pass alone nobody else: it couldn't be run.
    for function in named.library.function:
        context.context().add_function_def(function)
    tensors: list[Tensor] = tf.graph_util.import_graph_def(
        named, input_map=dict(given), return_elements=list(wanted), name="model"
    )
    for operation in graph.get_operations()[before:]:
        if operation.inputs and operation.outputs:
            record.record_operation(
                operation.type, list(operation.outputs), list(operation.inputs), _backward(operation)
            )
    return tensors


def _backward(operation: Any) -> Callable[..., list[Tensor | None]]:
    """Return the function that pulls gradients of an operation's outputs back to its inputs."""

    def backward(*gradients: Tensor) -> list[Tensor | None]:
        function = _gradient_function(operation)
        if function is None:
            return [None] * len(operation.inputs)
        found = function(operation, *gradients)
        return list(found) if isinstance(found, (list, tuple)) else [found]

    return backward


def _gradient_function(operation: Any) -> Any:
    """Return the registered gradient; None for an operation declared to have none.

    An operation that nobody gave a gradient is an error: leaving it out would leave out a part of the
    sum over paths, silently.
    """
    from tensorflow.python.framework import ops

    try:
        return ops.get_gradient_function(operation)
    except LookupError:
        raise ModelError(
            f"the operation {operation.type} ('{operation.name}') has no gradient",
            hint="give an --output-name or an --output-tensor that doesn't depend on it",
            reason="no-gradient",
        ) from None
