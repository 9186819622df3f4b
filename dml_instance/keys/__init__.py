"""What is done with config keys below the model: old spellings, rules, the number of classes."""
