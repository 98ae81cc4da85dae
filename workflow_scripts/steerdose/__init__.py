"""steerdose: how strongly can a language model be steered before it breaks, and what did the steering buy?"""
