# Complete Strategy Deployment Example
import aiohttp
import asyncio

class TradingStrategyManager:
    def __init__(self):
        self.base_url = "http://localhost:8700"
    
    async def deploy_strategy(self, strategy_code, parameters):
        # 1. Create strategy
        strategy_data = {
            "strategy_name": "Advanced RSI Strategy",
            "version": "2.0.0",
            "code": strategy_code,
            "parameters": parameters,
            "risk_limits": {
                "max_position_size": 15000,
                "daily_loss_limit": -2000
            }
        }
        
        async with aiohttp.ClientSession() as session:
            # Create strategy
            async with session.post(f"{self.base_url}/strategies", json=strategy_data) as response:
                strategy_result = await response.json()
                strategy_id = strategy_result["strategy_id"]
            
            # Deploy with pipeline
            deployment_config = {
                "deployment_type": "blue_green",
                "approval_required": False,
                "rollback_on_failure": True
            }
            
            async with session.post(f"{self.base_url}/strategies/{strategy_id}/deploy", json=deployment_config) as response:
                deployment_result = await response.json()
                pipeline_id = deployment_result["pipeline_id"]
            
            # Monitor pipeline progress
            while True:
                async with session.get(f"{self.base_url}/deployments/{pipeline_id}/status") as response:
                    status = await response.json()
                    
                    print(f"Pipeline status: {status['status']}")
                    print(f"Current stage: {status['current_stage']}")
                    
                    if status['status'] in ['completed', 'failed']:
                        break
                        
                    await asyncio.sleep(2)
            
            if status['status'] == 'completed':
                # Start strategy execution
                async with session.post(f"{self.base_url}/strategies/{strategy_id}/start") as response:
                    execution_result = await response.json()
                    return execution_result
            else:
                print("Deployment failed!")
                return None

# Usage
async def main():
    manager = TradingStrategyManager()
    
    strategy_code = """
class RSIStrategy:
    def __init__(self, rsi_period=14, oversold=30, overbought=70):
        self.rsi_period = rsi_period
        self.oversold = oversold
        self.overbought = overbought
    
    def generate_signal(self, market_data):
        rsi = calculate_rsi(market_data['prices'], self.rsi_period)
        
        if rsi < self.oversold:
            return 'BUY'
        elif rsi > self.overbought:
            return 'SELL'
        else:
            return 'HOLD'
"""
    
    parameters = {
        "rsi_period": 14,
        "oversold_threshold": 25,
        "overbought_threshold": 75,
        "position_size": 0.03
    }
    
    result = await manager.deploy_strategy(strategy_code, parameters)
    print(f"Strategy deployed and started: {result}")

# Run deployment
asyncio.run(main())
