"""The catalogue: application definitions, read, checked, and rendered into what a cluster runs. Pure: no I/O.

`definition` says what an application is; start there.
"""

from isthmus.application.catalogue import Catalogue, read_catalogue
from isthmus.application.definition import (
    Application,
    Choice,
    Condition,
    Deployment,
    EnabledFor,
    Example,
    FileRule,
    Input,
    Isolation,
    Metric,
    Output,
    ProgressKind,
    ProgressRule,
    ResourceName,
    ResourceRule,
    Show,
)
from isthmus.application.encoding import Json
from isthmus.application.examples import check_examples
from isthmus.application.faults import BrokenApplication, Fault, did_you_mean
from isthmus.application.inputs import CheckedInputs, FileFacts, InputFile, check_inputs, input_schema
from isthmus.application.page import page
from isthmus.application.quoting import quote
from isthmus.application.reading import read_application
from isthmus.application.rendering import Places, Rendered, render
from isthmus.application.resources import choose_resources, read_amount
from isthmus.application.units import seconds

__all__ = [
    "Application",
    "BrokenApplication",
    "Catalogue",
    "CheckedInputs",
    "Choice",
    "Condition",
    "Deployment",
    "EnabledFor",
    "Example",
    "Fault",
    "FileFacts",
    "FileRule",
    "Input",
    "InputFile",
    "Isolation",
    "Json",
    "Metric",
    "Output",
    "Places",
    "ProgressKind",
    "ProgressRule",
    "Rendered",
    "ResourceName",
    "ResourceRule",
    "Show",
    "check_examples",
    "check_inputs",
    "choose_resources",
    "did_you_mean",
    "input_schema",
    "page",
    "quote",
    "read_amount",
    "read_application",
    "read_catalogue",
    "render",
    "seconds",
]
