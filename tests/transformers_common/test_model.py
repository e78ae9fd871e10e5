"""transformers' ModelTesterMixin and ConfigTester over the model."""

from __future__ import annotations

import unittest
from typing import Any

import pytest
import torch

from pixelword.model import NeoOVConfig, NeoOVForConditionalGeneration, NeoOVModel, NeoOVTextConfig

from .adapting import common, without

CONTEXT, VOCABULARY = 61, 64


class ModelTester:
    """What the mixin asks of a tester: a configuration and inputs, small."""

    batch_size, seq_length, num_channels = 3, 12, 3
    hidden_size, num_hidden_layers, num_attention_heads = 32, 2, 4
    is_training = True

    def __init__(self, parent: Any) -> None:
        self.parent = parent

    @property
    def config_dict(self) -> dict[str, Any]:
        return {
            "vision_config": {"hidden_size": 16},
            "llm_config": {
                "vocab_size": VOCABULARY,
                "hidden_size": self.hidden_size,
                "intermediate_size": 48,
                "num_hidden_layers": self.num_hidden_layers,
                "extra_num_layers": 1,
                "num_attention_heads": self.num_attention_heads,
                "num_key_value_heads": 2,
                "head_dim": 8,
                "max_position_embeddings": 512,
                "pad_token_id": 0,
            },
            "img_start_token_id": 60,
            "img_context_token_id": CONTEXT,
            "img_end_token_id": 62,
        }

    def get_config(self) -> NeoOVConfig:
        return NeoOVConfig(**self.config_dict)

    def prepare_config_and_inputs_for_common(self) -> tuple[NeoOVConfig, dict[str, Any]]:
        ids = torch.randint(1, 60, (self.batch_size, self.seq_length))
        ids[:, 2:6] = torch.tensor([60, CONTEXT, CONTEXT, 62])
        return self.get_config(), {
            "input_ids": ids,
            "attention_mask": torch.ones_like(ids),
            "pixel_values": torch.rand(8 * self.batch_size, 768),
            "image_grid_hw": torch.tensor([[2, 4]] * self.batch_size),
            "mm_token_type_ids": (ids == CONTEXT).long(),
        }


modeling, configuration = common("test_modeling_common"), common("test_configuration_common")
# Which of them has labels, the mixin asks of transformers' own lists.
modeling.MODEL_MAPPING_NAMES["neo_chat"] = "NeoOVModel"
modeling.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES["neo_chat"] = "NeoOVForConditionalGeneration"


@without("model")
class TestModel(modeling.ModelTesterMixin, unittest.TestCase):
    all_model_classes = (NeoOVModel, NeoOVForConditionalGeneration)
    test_torch_exportable = False
    _is_composite = True

    def setUp(self) -> None:
        torch.manual_seed(0)
        self.model_tester = ModelTester(self)


@pytest.mark.parametrize("part", ["whole", "text"])
def test_config(part: str) -> None:
    case = unittest.TestCase()
    case.model_tester = ModelTester(case)  # type: ignore[attr-defined]
    given = ModelTester(case).config_dict
    if part == "whole":
        ids = {name: value for name, value in given.items() if name.endswith("_id")}
        tester = configuration.ConfigTester(case, config_class=NeoOVConfig, has_text_modality=False, **ids)
    else:
        tester = configuration.ConfigTester(case, config_class=NeoOVTextConfig, **given["llm_config"])
    tester.run_common_tests()
